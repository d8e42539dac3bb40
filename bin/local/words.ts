/** What `maya up` says at the terminal. */
import { readFileSync } from 'node:fs';
import type { StopOutcome } from './cluster.ts';
import type { Layout } from './layout.ts';
import { DOCKER_PLUGIN_SOCKET } from './options.ts';

const TAIL_LINES = 8;
const TAIL_LINE_CHARACTERS_MAX = 300;

/** @param mayactl how to call mayactl for this cluster. */
export function readyText(layout: Layout, mayactl: string, seconds: number): string {
  const nodes = layout.nodes.map(({ name, folder, dockerSocket }) => {
    const docker = dockerSocket === null ? '' : `   docker ${dockerSocket}`;
    return `  ${name.padEnd(10)} ${folder}${docker}`;
  });
  const count = layout.nodes.length === 1 ? '1 node is' : `${layout.nodes.length} nodes are`;
  const hasDocker = layout.nodes.some((node) => node.dockerSocket === DOCKER_PLUGIN_SOCKET);
  return [
    `${count} online after ${seconds.toFixed(1)} s`,
    `  ${'apiserver'.padEnd(10)} ${layout.apiserverAddress}`,
    ...nodes,
    `  ${'logs'.padEnd(10)} ${layout.logs}`,
    'try',
    `  ${mayactl} volume create data --size 1G --replicas ${Math.min(3, layout.nodes.length)}`,
    ...(hasDocker ? ['  docker volume create -d openebs -o size=1G data'] : []),
    'Ctrl-C stops it',
  ].join('\n');
}

/** Why a stop did not happen, and what the person can do; null when it did. */
export function stopText(outcome: StopOutcome, mayactl: string): string | null {
  switch (outcome.kind) {
    case 'stopped':
      return null;
    case 'inUse':
      return [
        'volumes are in use, so nothing was stopped; what was written to them is on disk:',
        ...outcome.uses.flatMap((use) => [
          `  volume ${use.volume} on ${use.node}, ${use.mountpoint || 'not mounted'}`,
          ...use.consumers.map((consumer) => `    used by ${consumerText(consumer)}`),
          ...use.holders.map((holder) => `    open in ${holder}`),
        ]),
        `stop what uses them (docker stop …, ${mayactl} volume detach …)`,
      ].join('\n');
    case 'failed':
      return ['it could not be stopped cleanly:', ...outcome.problems.map((p) => `  ${p}`)].join(
        '\n',
      );
  }
}

function consumerText(consumer: string): string {
  return consumer.startsWith('docker:')
    ? `a container (docker mount ${consumer.slice('docker:'.length, 'docker:'.length + 12)})`
    : consumer;
}

/** The last lines of a log, for a person who has just been told that something failed. */
export function tailOf(logPath: string): string {
  try {
    const lines = readFileSync(logPath, 'utf8').trimEnd().split('\n');
    // One that ends again and again says the same each time.
    const different = lines.filter((line, index) => line !== lines[index - 1]);
    const tail = different.slice(-TAIL_LINES);
    return tail.map((line) => `  | ${line.slice(0, TAIL_LINE_CHARACTERS_MAX)}`).join('\n');
  } catch {
    return '  | (there is no log)';
  }
}
