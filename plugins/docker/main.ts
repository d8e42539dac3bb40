/** What a composition root needs: `maya agent --docker-socket PATH` runs it beside the agent. */
export { type DockerPlugin, startDockerPlugin } from './plugin.ts';
