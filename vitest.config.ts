import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Tests must not meet the models that whoever runs them has pulled. */
const OWN_STATE = { XDG_STATE_HOME: join(tmpdir(), 'limner-test-state') };

/** What `npm test` leaves out, because it needs a browser, Python or much time; each script asks for its own. */
const EXTRAS: Record<string, string> = {
	browser: 'tests/browser/**/*.test.ts',
	clients: 'tests/clients/**/*.test.ts',
	drills: 'tests/drills/**/*.test.ts',
	'sdk-e2e': 'sdk/test/**/*.test.ts',
	storage: 'tests/storage/**/*.test.ts',
};
const MORE = (process.env['LIMNER_TEST_MORE'] ?? '').split(' ').filter((name) => name in EXTRAS);

const extra = (name: string) => ({
	test: {
		name,
		env: OWN_STATE,
		include: [EXTRAS[name] ?? ''],
		testTimeout: 180_000,
		hookTimeout: 180_000,
		fileParallelism: false,
	},
});

/** One project a layer: pure units, workerd, replayed references, the whole system. */
export default defineConfig({
	test: {
		coverage: {
			// The runtime of Workers has no V8 coverage.
			provider: 'istanbul',
			include: ['shared/src/**/*.ts', 'gateway/src/**/*.ts', 'node-agent/src/**/*.ts', 'sdk/src/**/*.ts'],
			exclude: ['**/*.test.ts', '**/*.test-lib.ts', '**/worker-configuration.d.ts', 'sdk/src/schema.ts'],
			reporter: ['text-summary', 'json-summary'],
			thresholds: {
				'shared/src/**': { lines: 80, statements: 80 },
				'gateway/src/**': { lines: 80, statements: 80 },
				'node-agent/src/**': { lines: 80, statements: 80 },
				'sdk/src/**': { lines: 80, statements: 80 },
			},
		},
		projects: [
			...MORE.map((name) => extra(name)),
			{ test: { name: 'shared', include: ['shared/src/**/*.test.ts'], testTimeout: 60_000 } },
			{ test: { name: 'sdk', include: ['sdk/src/**/*.test.ts'] } },
			{ test: { name: 'gateway', include: ['gateway/src/**/*.test.ts'], testTimeout: 60_000 } },
			{
				test: { name: 'node-agent', env: OWN_STATE, include: ['node-agent/src/**/*.test.ts', 'scripts/**/*.test.ts'], testTimeout: 30_000 },
			},
			{
				plugins: [
					cloudflareTest({
						wrangler: { configPath: './wrangler.toml' },
						miniflare: {
							bindings: {
								LIMNER_SECRET: 'test-secret-of-at-least-32-characters',
								LOG_LEVEL: 'error',
								// The nodes of these tests offer it.
								DEFAULT_MODEL: 'storybook',
								// Of lk_test_boot_0123456789abcdef0123456789abcdef, the first key of the workspace `test`.
								BOOTSTRAP_KEY_SHA256: '1879f6d078875833f72950100ac39aa160ea98fdb9e7dfc7f578d231f599ca21',
								// Of an S3 server, by `npm run test:storage`.
								TEST_S3: process.env['LIMNER_TEST_S3'] ?? 'null',
							},
						},
					}),
				],
				test: { name: 'workerd', include: ['gateway/test/**/*.test.ts'], testTimeout: 30_000 },
			},
			{ test: { name: 'proof', include: ['tests/{chaos,load,conformance}/**/*.test.ts'], testTimeout: 60_000 } },
			{ test: { name: 'reference', include: ['tests/reference/**/*.test.ts'], testTimeout: 120_000 } },
			{ test: { name: 'web', include: ['web/src/**/*.test.ts'] } },
			{
				test: {
					name: 'e2e',
					env: OWN_STATE,
					include: ['tests/e2e/**/*.test.ts'],
					testTimeout: 180_000,
					hookTimeout: 120_000,
					fileParallelism: false,
				},
			},
		],
	},
});
