# A network with a web server's port forwarded, for provider dmacvicar/libvirt 0.8.
# The provider sends the network as it knows it through the transformation; what is in
# forwards.xsl passes libvirt and Terraform unharmed.
terraform {
  required_providers {
    libvirt = {
      source  = "dmacvicar/libvirt"
      version = "~> 0.8.0"
    }
  }
}

provider "libvirt" {
  uri = "qemu:///system"
}

resource "libvirt_network" "web" {
  name      = "web"
  mode      = "nat"
  bridge    = "virbr-web"
  addresses = ["192.168.150.0/24"]
  autostart = true

  dhcp {
    enabled = true
  }

  xml {
    xslt = file("${path.module}/forwards.xsl")
  }
}
