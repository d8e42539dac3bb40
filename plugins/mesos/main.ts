/** dvdcli: composition root. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { NodeHttpTransport } from '../../core/platform/node/index.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { type DvdcliContext, runDvdcli } from './run.ts';

const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupt.abort(new Error(`ended by ${signal}`)));
}

const context: DvdcliContext = {
  stdout: { write: writeToEnd },
  stderr: { write: (text) => void process.stderr.write(text) },
  version: packageJson.version,
  environment: process.env,
  isRoot: process.getuid?.() === 0,
  homeFolder: homedir(),
  exists: existsSync,
  transport: (address) => new NodeHttpTransport({ address }),
  interrupted: interrupt.signal,
  clock: {
    nowMs: () => performance.now(),
    timer(delayMs, fire) {
      const timer = setTimeout(fire, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
  },
};

// The write that fails tells its own caller; the stream must not throw besides.
process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
process.exitCode = await runDvdcli(process.argv.slice(2), context);

async function writeToEnd(text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}
