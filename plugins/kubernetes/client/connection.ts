/** How the Kubernetes API is reached, and who we are there. */
import { existsSync, readFileSync } from 'node:fs';
import { KubeConfig, loadYaml } from '@kubernetes/client-node';
import { CodedError, messageOf } from '../../../core/errors.ts';

/** What kubelet gives to every container (service accounts). */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export class ConnectionError extends CodedError<{ readonly code: 'noKubernetes' }> {
  override readonly name = 'ConnectionError';
}

/**
 * @param file a kubeconfig; null: the Pod's own service account.
 * @throws ConnectionError
 */
export function loadKubeConfig(file: string | null): KubeConfig {
  const config = new KubeConfig();
  try {
    if (file !== null) config.loadFromFile(file);
    else if (existsSync(`${SERVICE_ACCOUNT}/token`)) config.loadFromCluster();
    else throw new Error('this is no Pod with a service account');
    if (config.getCurrentCluster() === null) throw new Error('it names no cluster');
    return config;
  } catch (cause) {
    const where = file === null ? 'give --kubeconfig FILE' : `--kubeconfig ${file} cannot be used`;
    const sentence = `no Kubernetes to talk to: ${messageOf(cause)}; ${where}`;
    throw new ConnectionError({ code: 'noKubernetes' }, sentence, cause);
  }
}

/** The Pod's own; `default` outside of a Pod. */
export function ownNamespace(): string {
  const file = `${SERVICE_ACCOUNT}/namespace`;
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : 'default';
}

/** YAML of annotations: what a person wrote, so anything may come of it. */
export function parseYaml(text: string): unknown {
  return loadYaml<unknown>(text);
}
