import { Command, Option } from 'commander';
import { listNodes, showStatus, showVersion } from './commands/cluster.ts';
import { type MesosConfigOptions, mesosCheck, mesosConfig } from './commands/mesos.ts';
import { type NomadVolumeOptions, nomadVolume } from './commands/nomad.ts';
import {
  type AttachOptions,
  attachVolume,
  type DetachOptions,
  detachVolume,
} from './commands/volume-attach.ts';
import { type CreateOptions, createVolume } from './commands/volume-create.ts';
import { type DeleteOptions, deleteVolume } from './commands/volume-delete.ts';
import { listVolumes, showVolume, volumeUrl } from './commands/volume-read.ts';
import { completionScript, SHELLS } from './completion.ts';
import { type CliContext, type GlobalOptions, OUTPUT_FORMATS } from './context.ts';

const FILE_SYSTEMS = ['ext4', 'xfs', 'none'];

/** Every command of mayactl with its words, options and help. */
export function makeProgram(context: CliContext): Command {
  const program = new Command('mayactl')
    .description('Makes, watches and uses the volumes of an OpenEBS cluster.')
    .addOption(
      new Option('-o, --output <format>', 'how to print')
        .choices([...OUTPUT_FORMATS])
        .default('table'),
    )
    .option('--server <address>', 'the apiserver: unix:/path or http://host:port')
    .addHelpText('after', HELP)
    .showSuggestionAfterError(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
      outputError: () => undefined,
    });
  addVolumeCommands(program.command('volume').description('volumes: make, show, use'), context);
  addNodeCommands(program, context);
  addMesosCommands(program.command('mesos').description('the file of Mesos for CSI'), context);
  addNomadCommands(program.command('nomad').description('volume files of Nomad'), context);
  return program;
}

const HELP = `
Without --server the address comes from OPENEBS_APISERVER, else it is the socket in OPENEBS_STATE
(/var/lib/openebs for root, ~/.local/share/openebs for others), where "maya up" has it.`;

function addVolumeCommands(volume: Command, context: CliContext): void {
  volume
    .command('create <name>')
    .description('make a volume; one that is there with equal options is fine')
    .option('--size <size>', 'such as 10G (powers of 1024; default 5G)')
    .option('--replicas <count>', 'copies, each on another node (default 3, or all nodes)')
    .option('--fs <kind>', `file system: ${FILE_SYSTEMS.join(', ')} (default ext4)`)
    .option('--fs-options <options>', 'for mkfs, as one word: "-m 0"')
    .option('--pool <name>', 'only pools of this name')
    .option('--nodes <names>', 'only on these nodes: node-1,node-2')
    .option('--zones <names>', 'only on nodes of these zones')
    .action(run<CreateOptions>((name, options) => createVolume(context, name, options)));
  volume
    .command('list')
    .description('all volumes, one a line')
    .action(runPlain((options) => listVolumes(context, options)));
  volume
    .command('show <name>')
    .description('one volume and its replicas')
    .action(run((name, options) => showVolume(context, name, options)));
  volume
    .command('delete <name>')
    .description('delete a volume and all its data')
    .option('-y, --yes', 'do not ask')
    .action(run<DeleteOptions>((name, options) => deleteVolume(context, name, options)));
  volume
    .command('attach <name>')
    .description('mount a volume on a node, or serve it there')
    .option('--node <node>', 'where (default: where it is, else a node that has a replica)')
    .option('--no-mount', 'only serve it over iSCSI, to the initiators that --initiator names')
    .option('--initiator <iqn>', 'who may log in; repeatable; "any" alone: everybody', collect)
    .option('--device', 'only the block device, not mounted')
    .action(run<AttachOptions>((name, options) => attachVolume(context, name, options)));
  volume
    .command('detach <name>')
    .description("drop mayactl's use of a volume; the last user's leaving unmounts it")
    .option('--node <node>', 'where (default: where it is attached)')
    .option('--all', 'drop every use of it on that node')
    .action(run<DetachOptions>((name, options) => detachVolume(context, name, options)));
  volume
    .command('url <name>')
    .description('print the iscsi:// URL of an attached volume')
    .action(run((name, options) => volumeUrl(context, name, options)));
}

function addNodeCommands(program: Command, context: CliContext): void {
  program
    .command('node')
    .description('nodes')
    .command('list')
    .description('all nodes, one a line')
    .action(runPlain((options) => listNodes(context, options)));
  program
    .command('status')
    .description('the cluster at a glance')
    .action(runPlain((options) => showStatus(context, options)));
  program
    .command('version')
    .description('of mayactl and of the cluster')
    .action(runPlain((options) => showVersion(context, options)));
  program
    .command('completion')
    .argument('<shell>', `one of ${SHELLS.join(', ')}`)
    .description('print a completion script: source <(mayactl completion bash)')
    .action((shell: string) => context.stdout.write(completionScript(shell)));
}

function addMesosCommands(mesos: Command, context: CliContext): void {
  mesos
    .command('config')
    .description("print the volume/csi isolator's file for a node, or write it")
    .option('--node <node>', 'whose CSI socket it names (needed where there are several)')
    .option('--endpoint <address>', 'of a CSI plugin that the cluster does not know: unix:///path')
    .option('--target-path-root <folder>', 'where volumes are mounted; for nothing else')
    .option('--file <path>', 'write it there')
    .action(runPlain<MesosConfigOptions>((options) => mesosConfig(context, options)));
  mesos
    .command('check <path>')
    .description('tell what Mesos would not take in such a file, or in a folder of them')
    .action(run((path, options) => mesosCheck(context, path, options)));
}

function addNomadCommands(nomad: Command, context: CliContext): void {
  nomad
    .command('volume <name>')
    .description('print the file for "nomad volume register" of a volume, or write it')
    .option('--plugin-id <id>', 'of the CSI plugin in Nomad (default openebs)')
    .option('--namespace <name>', "of Nomad's (default: the one of who registers it)")
    .option('--file <path>', 'write it there')
    .action(run<NomadVolumeOptions>((name, options) => nomadVolume(context, name, options)));
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** Commander checked names and counts; what a value may be is for each command to say. */
function run<Options extends GlobalOptions>(
  call: (name: string, options: Options) => Promise<void>,
) {
  return (name: string, _options: unknown, command: Command) =>
    call(name, command.optsWithGlobals<Options>());
}

function runPlain<Options extends GlobalOptions>(call: (options: Options) => Promise<void>) {
  return (_options: unknown, command: Command) => call(command.optsWithGlobals<Options>());
}
