# The node's half of the CSI plugin, as a container on every client. Neither privileged nor with
# CAP_SYS_ADMIN: it mounts nothing itself, the agent on the host does.

job "openebs-node" {
  type = "system"

  group "node" {
    task "plugin" {
      driver = "docker"

      config {
        image           = "docker.io/openebs/maya:0.1.0"
        args            = ["csi", "--mode=node", "--orchestrator=nomad", "--agent=unix:/agent/agent.sock"]
        network_mode    = "none"
        readonly_rootfs = true
        cap_drop        = ["all"]
        volumes         = ["/var/lib/openebs/agent:/agent:ro"]
      }

      csi_plugin {
        id        = "openebs"
        type      = "node"
        mount_dir = "/csi"

        # <data_dir>/client/csi/node/openebs: in the container under the path that it has on the
        # host, because the agent is told these paths.
        stage_publish_base_dir = "/opt/nomad/data/client/csi/node/openebs"
      }

      resources {
        cpu    = 100
        memory = 192
      }
    }
  }
}
