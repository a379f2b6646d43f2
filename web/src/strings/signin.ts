/** Texts of signing in and of accounts. */
export const signIn = {
	title: 'Sign in',
	lead: 'This studio belongs to a Limner gateway.',
	how: 'How to sign in',
	byKey: 'With a key',
	byAccount: 'With an account',
	key: 'API key',
	placeholder: 'lk_…',
	email: 'E-mail address',
	password: 'Password',
	go: 'Sign in',
	where: 'npm start prints a key and a link that signs you in. The key stays in this browser.',
	forgotten: 'Forgotten the password?',
	forgottenGo: 'Send me a link',
	forgottenNeeds: 'Write your e-mail address above first.',
	forgottenSent: 'If there is such an account, a link is on its way to you.',
	wrong: 'The gateway does not know this key. Check that all of it was copied.',
	wrongAccount: 'There is no account with this address and password.',
} as const;

/** Texts behind invitation and reset links. */
export const link = {
	joinTitle: 'Join',
	asRole: 'You will be',
	roles: {
		owner: 'owner: everything, and hand over or delete the workspace',
		admin: 'admin: keys, members, limits and machines as well',
		member: 'member: make and remove pictures, read the rest',
		viewer: 'viewer: read',
	},
	isNew: 'I am new here',
	isKnown: 'I have an account',
	newPassword: 'Password, at least 10 characters',
	join: 'Join',
	joinAs: 'Join as',
	resetTitle: 'Set a new password',
	resetLead: 'All sessions of the account end.',
	reset: 'Set the password',
	resetDone: 'The password is set. Sign in with it.',
	cancel: 'Not now',
	checking: 'Looking at the link …',
} as const;

/** Texts of the account in the settings. */
export const account = {
	accountTitle: 'Account',
	workspace: 'Workspace',
	none: 'Your account is in no workspace yet',
	noneLead: 'Ask somebody for an invitation, and paste its link or code here.',
	invitation: 'Invitation',
	accept: 'Join',
	badInvitation: 'This is neither the link nor the code of an invitation.',
	change: 'Change the password',
	present: 'Present password',
	changed: 'The password is changed. Other sessions have ended.',
	byKey: 'Signed in with an API key.',
	sessions: 'Where you are signed in',
	used: 'used',
	thisOne: 'this browser',
	unknownAgent: 'Some program',
	signOutOthers: 'Sign out everywhere else',
	roles: { owner: 'owner', admin: 'admin', member: 'member', viewer: 'viewer' },
} as const;
