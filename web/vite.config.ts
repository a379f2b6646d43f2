import tailwindcss from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The studio becomes static files in gateway/public, which the Worker's runtime serves. */
export default defineConfig({
	root: import.meta.dirname,
	plugins: [react(), tailwindcss()],
	build: {
		outDir: '../gateway/public',
		// _headers is committed there; scripts/web-build.ts removes what an earlier build left.
		emptyOutDir: false,
		target: 'es2022',
		sourcemap: false,
		// Nothing inline: the page's Content-Security-Policy takes scripts from files only.
		assetsInlineLimit: 0,
		modulePreload: { polyfill: false },
	},
	server: { proxy: { '/api': 'http://127.0.0.1:8787', '/openapi.json': 'http://127.0.0.1:8787' } },
});
