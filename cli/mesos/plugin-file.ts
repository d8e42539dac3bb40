/** The driver (CSI GetPluginInfo): the `plugin_name` of every volume that Mesos mounts with it. */
export const PLUGIN_TYPE = 'maya.csi.openebs.io';

/**
 * Each volume is mounted in a folder of its own below it. Not where a reboot clears up: mesos-agent
 * aborts when the staging path of a volume that it remembers has gone.
 */
export const DEFAULT_TARGET_PATH_ROOT = '/var/lib/mesos-openebs';

/** CSIPluginInfo of an unmanaged plugin: one that Mesos does not start itself. */
export interface PluginFile {
  readonly type: string;
  readonly endpoints: readonly {
    readonly csi_service: 'NODE_SERVICE';
    readonly endpoint: string;
  }[];
  readonly target_path_root: string;
}

/**
 * @param endpoint `unix:///path/of/csi.sock`. Only the node service: the volume/csi isolator never
 * calls the controller, and with one in its file it would ask for more than it uses.
 */
export function pluginFile(endpoint: string, targetPathRoot: string): PluginFile {
  return {
    type: PLUGIN_TYPE,
    endpoints: [{ csi_service: 'NODE_SERVICE', endpoint }],
    target_path_root: targetPathRoot,
  };
}

export function pluginFileText(file: PluginFile): string {
  return `${JSON.stringify(file, null, 2)}\n`;
}
