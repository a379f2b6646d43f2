/**
 * The suite's fixture server at `/mcp-conformance`, through the very checks and handler of the gateway's `/mcp`.
 * @module
 */
import { InMemoryServerEventBus } from '@modelcontextprotocol/server';
import { preflight, refusePlace, serveMcp, withCors } from '../../../gateway/src/dialects/mcp/endpoint.ts';
import { perRequest } from '../../../gateway/src/lib/middleware.ts';
import { newApp } from '../../../gateway/src/lib/openapi.ts';
import { buildFixture } from './fixture.ts';

/** Everything, except the one call whose refusal must have an HTTP status of its own. */
const streams = (tool: string): boolean => tool !== 'test_missing_capability';
const bus = new InMemoryServerEventBus();
const app = newApp();
app.use(perRequest);
app.all('/mcp-conformance', async (c) => {
	const refused = refusePlace(c);
	if (refused !== undefined) return refused;
	if (c.req.method === 'OPTIONS') return preflight(c);
	return withCors(c, await serveMcp(c, () => buildFixture(bus), { streams, bus }));
});

export default app;
