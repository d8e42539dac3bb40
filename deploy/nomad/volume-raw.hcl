# nomad volume create volume-raw.hcl: no file system is ever made on it.
type      = "csi"
id        = "raw"
name      = "raw"
plugin_id = "openebs"

capacity_min = "1GiB"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "block-device"
}

parameters {
  replicas = "2"
}
