/** The Identity service. */
import type { AgentClient } from '../../core/api/index.ts';
import { messageOf } from '../../core/errors.ts';
import { PLUGIN_CAPABILITIES } from './capabilities.ts';
import { grpcError } from './grpc/grpc-error.ts';
import { type GrpcCall, type GrpcService } from './grpc/server.ts';
import type { Empty } from './messages.ts';

export const DRIVER_NAME = 'maya.csi.openebs.io';
/** Nomad probes every 5 s and the kubelet's liveness probe waits a second or more. */
const PROBE_DEADLINE_MS = 2_000;

export interface IdentityOptions {
  readonly agent: AgentClient;
  readonly version: string;
}

export function identityHandlers({ agent, version }: IdentityOptions): GrpcService['handlers'] {
  let wasReady = false;
  return {
    GetPluginInfo: async () => ({ name: DRIVER_NAME, vendorVersion: version }),

    /** "The grand sum of all capabilities of all instances": the same in every mode. */
    GetPluginCapabilities: async () => ({
      capabilities: PLUGIN_CAPABILITIES.map((type) => ({ service: { type } })),
    }),

    /**
     * Ready once the agent of this node answers; until then it is "still initializing". Later
     * "missing required dependency": FAILED_PRECONDITION. Without the apiserver it is ready, for
     * what is attached can still be published.
     */
    Probe: async (_request: Empty, { abandoned }: GrpcCall) => {
      try {
        await agent.info({ timeoutMs: PROBE_DEADLINE_MS, signal: abandoned });
        wasReady = true;
        return { ready: { value: true } };
      } catch (error) {
        if (!wasReady) return { ready: { value: false } };
        throw grpcError('FAILED_PRECONDITION', messageOf(error), error);
      }
    },
  };
}
