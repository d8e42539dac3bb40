# nomad volume create volume.hcl
type      = "csi"
id        = "postgresql"
name      = "postgresql"
plugin_id = "openebs"

capacity_min = "1GiB"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

# For read-only jobs, when no writer has it.
capability {
  access_mode     = "single-node-reader-only"
  attachment_mode = "file-system"
}

mount_options {
  fs_type     = "ext4"
  mount_flags = ["noatime"]
}

# The same words as at every other door: replicas, fs, fsOptions, pool, nodes, zones.
parameters {
  replicas = "3"
}

# Where the first job will run there is a copy, if there is room.
topology_request {
  preferred {
    topology {
      segments {
        "topology.openebs.io/node" = "node-1"
      }
    }
  }
}
