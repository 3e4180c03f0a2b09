// Command virbr shows what libvirt networks mean and checks them.
package main
