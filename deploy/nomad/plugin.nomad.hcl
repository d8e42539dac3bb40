# The CSI plugin of OpenEBS on every client, controller and node in one (Nomad 1.6 and later).
# raw_exec must be allowed on the clients: plugin "raw_exec" { config { enabled = true } }

job "openebs" {
  type = "system"

  group "plugin" {
    task "plugin" {
      driver = "raw_exec"

      config {
        command = "/opt/openebs/bin/maya"
        args = [
          "csi",
          "--mode=all",
          "--orchestrator=nomad",
          "--agent=unix:/var/lib/openebs/agent/agent.sock",
        ]
      }

      # The socket's path comes in CSI_ENDPOINT.
      csi_plugin {
        id        = "openebs"
        type      = "monolith"
        mount_dir = "/csi"

        # <data_dir>/client/csi/monolith/openebs. With raw_exec nothing is mounted for the task, so
        # that the default, a path in a container, would be nowhere.
        stage_publish_base_dir = "/opt/nomad/data/client/csi/monolith/openebs"
        health_timeout         = "30s"
      }

      resources {
        cpu    = 100
        memory = 192
      }
    }
  }
}
