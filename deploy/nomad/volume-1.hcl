# For a group with per_alloc: allocation number 1 has this one.
type      = "csi"
id        = "shard[1]"
name      = "shard[1]"
plugin_id = "openebs"

capacity_min = "1GiB"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

parameters {
  fs = "xfs"
}
