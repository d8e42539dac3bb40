/** `npm run api`: writes the description of the agent's API as it is kept in docs/api. */
import { writeFileSync } from 'node:fs';
import { agentOpenApi } from '../../agent/api/routes.ts';

const path = new URL('../../docs/api/agent.openapi.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(agentOpenApi(), null, 2)}\n`);
