// Page behind invitation links (#invitation=…) and password reset links (#reset=…). The code after the # is never sent
// with the page; it is taken out of the address bar at once, so that it does not stay in the history.
const get = (id) => document.getElementById(id);
const say = (text) => {
	get('message').textContent = text;
};
const post = async (path, body) => {
	const response = await fetch(`/api/v1${path}`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify(body),
	});
	const text = await response.text();
	const answer = text === '' ? {} : JSON.parse(text);
	if (!response.ok) throw new Error(answer.detail ?? answer.title ?? `the gateway answered ${response.status}`);
	return answer;
};

(() => {
	const code = new URLSearchParams(location.hash.slice(1));
	history.replaceState(null, '', location.pathname);
	const invitation = code.get('invitation');
	const reset = code.get('reset');
	const start = async () => {
		if (reset !== null) {
			get('title').textContent = 'Set a new password';
			get('about').textContent = 'All sessions of the account end.';
			get('email-row').remove();
		} else if (invitation !== null) {
			const { workspaceName, role, email } = await post('/invitations/preview', { invitation });
			get('title').textContent = `Join ${workspaceName}`;
			get('about').textContent = `You will be: ${role}. If you have an account already, sign in and accept the invitation there.`;
			if (email !== null) get('form').elements.email.value = email;
		} else return;
		get('form').hidden = false;
	};
	const send = async () => {
		const { email, password } = get('form').elements;
		if (reset === null) {
			const { workspaceId } = await post('/accounts', { email: email.value, password: password.value, invitation });
			say(`Done: you are in the workspace ${workspaceId}. You can close this page and sign in.`);
		} else {
			await post('/auth/reset', { token: reset, password: password.value });
			say('Done: sign in with the new password.');
		}
		get('form').hidden = true;
	};
	get('form').addEventListener('submit', (event) => {
		event.preventDefault();
		send().catch((error) => say(error.message));
	});
	start().catch((error) => say(error.message));
})();
