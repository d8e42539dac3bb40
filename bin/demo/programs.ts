/** `maya up` and mayactl, run as a person would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('..', import.meta.url));

export interface ProgramAnswer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Its standard output. @throws Error with what it said when it does not succeed. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<string> {
  const { status, stdout, stderr } = await answerOf(argv, signal);
  if (status === 0) return stdout;
  const said = `${stdout}${stderr}`.trim();
  throw new Error(`${argv.map(shortened).join(' ')} ended with status ${status}: ${said}`);
}

export async function answerOf(
  argv: readonly string[],
  signal: AbortSignal,
): Promise<ProgramAnswer> {
  signal.throwIfAborted();
  const [program = '', ...args] = argv;
  // In a session of its own: a Ctrl-C is for the story to act on.
  const child = spawn(program, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = [textOf(child.stdout), textOf(child.stderr)];
  const onAbort = () => void child.kill('SIGTERM');
  signal.addEventListener('abort', onAbort);
  try {
    const status = await ended(child);
    signal.throwIfAborted();
    return { status, stdout: stdout(), stderr: stderr() };
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

export function mayactlWords(apiserverAddress: string, words: readonly string[]): string[] {
  return [`${BIN}mayactl`, '--server', apiserverAddress, ...words];
}

/** `maya up`, with what it says in a file. */
export class Up {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #hasEnded = false;

  constructor(folder: string, portalPorts: string, logPath: string) {
    const options = ['--state', folder, '--no-docker', '--portal-ports', portalPorts];
    this.#child = spawn(`${BIN}maya`, ['up', ...options], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk: Buffer) => appendFileSync(logPath, chunk));
    }
    this.#ended = ended(this.#child).finally(() => (this.#hasEnded = true));
    // Whoever waits for the end sees the failure.
    this.#ended.catch(() => undefined);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Ctrl-C; its exit status, or null when it is still there after `timeoutMs`. */
  async interrupt(timeoutMs: number): Promise<number | null> {
    if (!this.#hasEnded) this.#child.kill('SIGINT');
    return Promise.race([this.#ended, delay(timeoutMs, null, { ref: false })]);
  }
}

/** Ports of the loopback that nobody has, for the portals of a cluster of its own. */
export async function freePortRange(count: number): Promise<string> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    // Below the ports that Linux gives out by itself (ip_local_port_range: from 32768).
    const first = 20_000 + Math.floor(Math.random() * 12_000);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    const free = await Promise.all(ports.map(isFree));
    if (free.every((port) => port)) return `${first}-${first + count - 1}`;
  }
  throw new Error(`no ${count} free TCP ports in a row were found between 20000 and 32000`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const answer = Promise.withResolvers<boolean>();
  server.once('error', () => answer.resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => answer.resolve(true)));
  return answer.promise;
}

function ended(child: ChildProcess): Promise<number | null> {
  const end = Promise.withResolvers<number | null>();
  child.on('error', end.reject);
  child.on('close', (status) => end.resolve(status));
  return end.promise;
}

function textOf(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return () => Buffer.concat(chunks).toString('utf8');
}

function shortened(word: string): string {
  return word.startsWith(BIN) ? word.slice(BIN.length) : word;
}
