// Before the first paint, so that a dark page never flashes white.
(() => {
	const wanted = localStorage.getItem('limner.theme')?.replaceAll('"', '');
	const dark = wanted === 'dark' || (wanted !== 'light' && matchMedia('(prefers-color-scheme: dark)').matches);
	document.documentElement.dataset.theme = dark ? 'dark' : 'light';
})();
