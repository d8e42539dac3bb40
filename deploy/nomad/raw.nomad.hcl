job "raw" {
  type = "batch"

  group "raw" {
    volume "disk" {
      type            = "csi"
      source          = "raw"
      access_mode     = "single-node-writer"
      attachment_mode = "block-device"
    }

    task "raw" {
      driver = "docker"

      volume_mount {
        volume      = "disk"
        destination = "/dev/disk"
      }

      config {
        image   = "docker.io/library/busybox:1.37"
        command = "blockdev"
        args    = ["--getsize64", "/dev/disk"]

        # Of the workload, not of the plugin: Nomad mounts the device node into the container and
        # does not tell Docker to let it be opened.
        privileged = true
      }
    }
  }
}
