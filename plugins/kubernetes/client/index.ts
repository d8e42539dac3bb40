export { KubernetesApiClient, type LeasePlace } from './api-client.ts';
export { ConnectionError, loadKubeConfig, ownNamespace, parseYaml } from './connection.ts';
export { type Changed, WatchedView } from './view.ts';
