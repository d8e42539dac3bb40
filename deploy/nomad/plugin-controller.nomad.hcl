# The controller's half of the CSI plugin, as a container: any client with an agent of OpenEBS will
# do. The Docker driver must allow volumes: plugin "docker" { config { volumes { enabled = true } } }

job "openebs-controller" {
  type = "service"

  group "controller" {
    count = 2

    constraint {
      distinct_hosts = true
    }

    task "plugin" {
      driver = "docker"

      config {
        image           = "docker.io/openebs/maya:0.1.0"
        args            = ["csi", "--mode=controller", "--orchestrator=nomad", "--agent=unix:/agent/agent.sock"]
        network_mode    = "none"
        readonly_rootfs = true
        cap_drop        = ["all"]

        # The folder, not the socket: it is another socket after each start of the agent.
        volumes = ["/var/lib/openebs/agent:/agent:ro"]
      }

      csi_plugin {
        id        = "openebs"
        type      = "controller"
        mount_dir = "/csi"
      }

      resources {
        cpu    = 100
        memory = 192
      }
    }
  }
}
