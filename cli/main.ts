/** mayactl: composition root. */
import { homedir } from 'node:os';
import { createInterface } from 'node:readline/promises';
import { NodeHttpTransport } from '../core/platform/node/index.ts';
import packageJson from '../package.json' with { type: 'json' };
import type { CliContext, TextStream } from './context.ts';
import { nodeFiles } from './files.ts';
import { runCli } from './run.ts';

const interrupt = new AbortController();
process.once('SIGINT', () => interrupt.abort(new Error('interrupted')));

// `mayactl volume list | head -1` closes the pipe: nobody is left to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : 1);
});

const context: CliContext = {
  stdout: textStream(process.stdout),
  stderr: textStream(process.stderr),
  stdinIsTerminal: process.stdin.isTTY === true,
  ask,
  environment: process.env,
  isRoot: process.getuid?.() === 0,
  homeFolder: homedir(),
  version: packageJson.version,
  transport: (address) => new NodeHttpTransport({ address }),
  interrupted: interrupt.signal,
  clock: {
    nowMs: () => performance.now(),
    every(intervalMs, call) {
      const timer = setInterval(call, intervalMs);
      return () => clearInterval(timer);
    },
  },
  files: nodeFiles,
};

process.exitCode = await runCli(process.argv.slice(2), context);

function textStream(stream: NodeJS.WriteStream): TextStream {
  return { isTerminal: stream.isTTY === true, write: (text) => void stream.write(text) };
}

async function ask(question: string): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // While it reads a line the terminal sends no signal: Ctrl-C and Ctrl-D are readline's.
  lines.on('SIGINT', () => interrupt.abort(new Error('interrupted')));
  const ended = new Promise<string>((resolve) => {
    lines.once('close', () => resolve(''));
  });
  try {
    return await Promise.race([lines.question(question, { signal: interrupt.signal }), ended]);
  } finally {
    lines.close();
  }
}
