# Two allocations, each with a volume of its own: shard[0] and shard[1].

job "shards" {
  type = "service"

  group "shards" {
    count = 2

    volume "data" {
      type            = "csi"
      source          = "shard"
      per_alloc       = true
      access_mode     = "single-node-writer"
      attachment_mode = "file-system"
    }

    task "shard" {
      driver = "docker"

      volume_mount {
        volume      = "data"
        destination = "/data"
      }

      config {
        image   = "docker.io/library/busybox:1.37"
        command = "sh"
        args    = ["-c", "date >>/data/started; exec sleep infinity"]
      }
    }
  }
}
