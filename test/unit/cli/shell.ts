import type { CliContext } from '../../../cli/context.ts';
import { runCli } from '../../../cli/run.ts';
import type { HttpTransport } from '../../../core/platform/index.ts';
import { FakeAgent } from '../../fixtures/fake-agent.ts';
import { FakeApiserver } from '../../fixtures/fake-apiserver.ts';

export const SERVER = 'unix:/var/lib/openebs/apiserver.sock';

export type ShellAnswer = { status: number; stdout: string; stderr: string };

/** A terminal with nobody and nothing real behind it. */
export class Shell {
  readonly apiserver = new FakeApiserver();
  readonly agent = new FakeAgent();
  readonly addresses: string[] = [];
  readonly questions: string[] = [];
  readonly interrupt = new AbortController();
  environment: Record<string, string> = {};
  isTerminal = false;
  isRoot = true;
  answer = '';
  /** What is at an address, when neither of the fakes is meant. */
  elsewhere: HttpTransport | null = null;
  nowMs = 0;
  /** Files by path. */
  readonly files = new Map<string, string>();
  /** Thrown when a file is read or written. */
  fileError: Error | null = null;
  readonly #clockCalls = new Set<() => void>();
  #stderr = '';

  /** What was written to stderr so far. */
  get stderr(): string {
    return this.#stderr;
  }

  get runningClockCount(): number {
    return this.#clockCalls.size;
  }

  /** Lets time pass for whoever watches it. */
  passMs(elapsedMs: number): void {
    this.nowMs += elapsedMs;
    for (const call of this.#clockCalls) call();
  }

  /** `mayactl` and the words of `line`. */
  async run(line: string): Promise<ShellAnswer> {
    return this.runWords(line === '' ? [] : line.split(' '));
  }

  async runWords(words: readonly string[]): Promise<ShellAnswer> {
    let stdout = '';
    this.#stderr = '';
    const { isTerminal } = this;
    const context: CliContext = {
      stdout: { isTerminal, write: (text) => void (stdout += text) },
      stderr: { isTerminal, write: (text) => void (this.#stderr += text) },
      stdinIsTerminal: isTerminal,
      ask: async (question) => {
        this.questions.push(question);
        return this.answer;
      },
      environment: this.environment,
      isRoot: this.isRoot,
      homeFolder: '/home/me',
      version: '0.1.0',
      transport: (address) => this.#transport(address),
      interrupted: this.interrupt.signal,
      clock: {
        nowMs: () => this.nowMs,
        every: (_intervalMs, call) => {
          this.#clockCalls.add(call);
          return () => void this.#clockCalls.delete(call);
        },
      },
      files: {
        readAll: async (path) => this.#readAll(path),
        replace: async (path, text) => {
          this.#failOnFiles();
          this.files.set(path, text);
        },
      },
    };
    const status = await runCli(words, context);
    return { status, stdout, stderr: this.#stderr };
  }

  #readAll(path: string): { path: string; text: string }[] {
    this.#failOnFiles();
    return [...this.files]
      .filter(([name]) => name === path || name.startsWith(`${path}/`))
      .map(([name, text]) => ({ path: name, text }));
  }

  #failOnFiles(): void {
    if (this.fileError !== null) throw this.fileError;
  }

  #transport(address: string): HttpTransport {
    this.addresses.push(address);
    if (this.elsewhere !== null) return this.elsewhere;
    return address.endsWith('/agent.sock') ? this.agent : this.apiserver;
  }
}
