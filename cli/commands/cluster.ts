import { messageOf } from '../../core/errors.ts';
import { type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { nodeTable, statusText } from '../output/node-text.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';
import { facts } from '../output/table.ts';
import { paletteOf } from '../output/text.ts';

/** `version` asks the apiserver too, but does not wait for it. */
const VERSION_TIMEOUT_MS = 2_000;

export async function listNodes(context: CliContext, options: GlobalOptions): Promise<void> {
  const { client } = serverOf(context, options);
  const { nodes } = await withProgress(context, 'listing nodes', () =>
    client.listNodes({ signal: context.interrupted }),
  );
  if (nodes.length === 0 && options.output === 'table') {
    note(context, 'there are no nodes yet: an agent registers when it starts (maya agent)');
    return;
  }
  const palette = paletteOf(context, context.stdout);
  print(context, options.output, { data: nodes, text: () => nodeTable(nodes, palette) });
}

export async function showStatus(context: CliContext, options: GlobalOptions): Promise<void> {
  const { client } = serverOf(context, options);
  const status = await withProgress(context, 'asking for the status', () =>
    client.status({ signal: context.interrupted }),
  );
  const palette = paletteOf(context, context.stdout);
  const text = () => `${statusText(status, palette)}\n\n${nodeTable(status.nodes, palette)}`;
  print(context, options.output, { data: status, text });
}

export async function showVersion(context: CliContext, options: GlobalOptions): Promise<void> {
  const { client, address } = serverOf(context, options);
  const limits = { timeoutMs: VERSION_TIMEOUT_MS, signal: context.interrupted };
  const asked = await client.status(limits).then(
    (status) => ({ version: status.version, reason: '' }),
    (error: unknown) => ({ version: null, reason: messageOf(error) }),
  );
  const data = { mayactl: context.version, apiserver: asked.version, server: address };
  const shown = asked.version ?? `not known (${asked.reason})`;
  const text = () =>
    facts([
      ['mayactl', context.version],
      ['apiserver', shown],
    ]);
  print(context, options.output, { data, text });
}
