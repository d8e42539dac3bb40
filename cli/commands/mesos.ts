import { dirname, resolve } from 'node:path';
import type { NodeView } from '../../core/api/index.ts';
import { type CliContext, type GlobalOptions, serverOf } from '../context.ts';
import { failure, usageError } from '../failure.ts';
import { checkPluginFile, typeOf } from '../mesos/check-plugin-file.ts';
import { DEFAULT_TARGET_PATH_ROOT, pluginFile, pluginFileText } from '../mesos/plugin-file.ts';
import { note, print } from '../output/print.ts';
import { withProgress } from '../output/progress.ts';

export interface MesosConfigOptions extends GlobalOptions {
  readonly node?: string;
  readonly endpoint?: string;
  readonly targetPathRoot?: string;
  readonly file?: string;
}

/** Writes the volume/csi isolator's file for one node, or prints it. */
export async function mesosConfig(context: CliContext, options: MesosConfigOptions): Promise<void> {
  if (options.node !== undefined && options.endpoint !== undefined) {
    throw usageError('--node and --endpoint contradict each other: give one of them');
  }
  const endpoint = options.endpoint ?? (await endpointOf(context, options));
  const file = pluginFile(endpoint, options.targetPathRoot ?? DEFAULT_TARGET_PATH_ROOT);
  const text = pluginFileText(file);
  const [problem] = checkPluginFile(text);
  if (problem !== undefined) throw usageError(problem);
  if (options.file === undefined) {
    print(context, options.output, { data: file, text: () => text });
    return;
  }
  const path = resolve(options.file);
  await written(context, path, text);
  note(
    context,
    `${path} is written; mesos-agent needs --isolation=filesystem/linux,volume/csi ` +
      `and --csi_plugin_config_dir=${dirname(path)}`,
  );
}

/** What Mesos would stumble over in a file, or in the folder of `--csi_plugin_config_dir`. */
export async function mesosCheck(
  context: CliContext,
  path: string,
  options: GlobalOptions,
): Promise<void> {
  const files = await plugInFilesAt(context, path);
  const problems = files.flatMap((file) =>
    checkPluginFile(file.text).map((problem) => ({ file: file.path, problem })),
  );
  if (problems.length === 0) problems.push(...typesThatAreTwice(files));
  if (problems.length > 0) {
    const lines = problems.map(({ file, problem }) => `${file}: ${problem}`);
    throw failure(lines.join('\nmayactl: '));
  }
  const data = { files: files.map((file) => file.path) };
  const text = () => files.map((file) => `${file.path} is in order`).join('\n');
  print(context, options.output, { data, text });
}

/** The node's own CSI socket, as its agent last told. */
async function endpointOf(context: CliContext, options: MesosConfigOptions): Promise<string> {
  const { client } = serverOf(context, options);
  const { nodes } = await withProgress(context, 'asking for the CSI socket', () =>
    client.listNodes({ signal: context.interrupted }),
  );
  const { sockets, name } = chosenNode(nodes, options.node);
  if (sockets.csi !== undefined) return `unix://${sockets.csi}`;
  throw failure(
    `node ${name} serves no CSI socket: start its agent with --csi-socket, ` +
      'or say where maya csi listens with --endpoint unix:///path',
  );
}

function chosenNode(nodes: readonly NodeView[], wanted: string | undefined): NodeView {
  const names = nodes.map(({ name }) => name).join(', ');
  const [only, ...more] =
    wanted === undefined ? nodes : nodes.filter((node) => node.name === wanted);
  if (only !== undefined && more.length === 0) return only;
  if (wanted === undefined && only !== undefined) {
    throw usageError(`say for which node the file is: --node, one of ${names}`);
  }
  const there = names === '' ? 'none' : names;
  throw failure(`there is no node "${wanted ?? ''}"; there are: ${there}`);
}

async function written(context: CliContext, path: string, text: string): Promise<void> {
  try {
    await context.files.replace(path, text);
  } catch (error) {
    throw failure(`${path} is not written: ${reasonOf(error)}`, error);
  }
}

type TextFile = { readonly path: string; readonly text: string };

/** Mesos reads every file of its folder, whatever it is called, and no folder within. */
async function plugInFilesAt(context: CliContext, path: string): Promise<readonly TextFile[]> {
  let files: readonly TextFile[];
  try {
    files = await context.files.readAll(path);
  } catch (error) {
    throw failure(`${path} cannot be read: ${reasonOf(error)}`, error);
  }
  if (files.length === 0) throw failure(`${path} has no file in it: mesos-agent does not start`);
  return files;
}

function typesThatAreTwice(files: readonly TextFile[]): { file: string; problem: string }[] {
  const first = new Map<string | null, string>();
  return files.flatMap(({ path, text }) => {
    const type = typeOf(text);
    const before = first.get(type);
    if (before === undefined) first.set(type, path);
    return before === undefined ? [] : [{ file: path, problem: `${before} has type ${type} too` }];
  });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
