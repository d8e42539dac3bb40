# A volume that is there, whoever made it: mayactl nomad volume NAME --file volume-registered.hcl
# Then: nomad volume register volume-registered.hcl
type        = "csi"
id          = "shared"
name        = "shared"
external_id = "shared"
plugin_id   = "openebs"

capability {
  access_mode     = "single-node-writer"
  attachment_mode = "file-system"
}

capability {
  access_mode     = "single-node-reader-only"
  attachment_mode = "file-system"
}

mount_options {
  fs_type = "ext4"
}
