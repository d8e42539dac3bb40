job "postgresql" {
  type = "service"

  group "postgresql" {
    count = 1

    volume "data" {
      type            = "csi"
      source          = "postgresql"
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }

    task "postgresql" {
      driver = "docker"

      volume_mount {
        volume      = "data"
        destination = "/var/lib/postgresql"
      }

      config {
        image = "docker.io/library/postgres:17"
      }

      env {
        POSTGRES_PASSWORD = "change-me"

        # A new file system has lost+found in it, and initdb wants an empty folder.
        PGDATA = "/var/lib/postgresql/data"
      }

      resources {
        cpu    = 500
        memory = 512
      }
    }
  }
}
