// Package schemas holds virbr's RELAX NG schemas of network and network-port
// documents, and checks documents against them.
//
// network.rng and networkport.rng describe the documents, virbr.rng what virbr
// adds to them; common.rng and types.rng are parts that these share. Packages
// install all five in [Dir], so that xmllint, jing and editors can use them;
// the daemon has its own copy and needs no file.
//
// The schemas are stricter than package xml where a value ends in a file, a
// rule or a device name, and looser in what needs more than one element to
// decide: whoever defines a network has it both validated and parsed.
package schemas
