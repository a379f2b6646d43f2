/** Types `exports` of `cloudflare:workers`: the tests call the Worker as its callers do. */
declare namespace Cloudflare {
	interface GlobalProps {
		mainModule: typeof import('../src/index.ts');
	}
}
