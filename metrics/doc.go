// Package metrics tells Prometheus about networks and the daemon, in its text
// format, over HTTP on a socket of this host.
//
// The format is version 0.0.4, which every Prometheus and every agent that speaks
// for one reads (https://prometheus.io/docs/instrumenting/exposition_formats/).
// It is written here and not by Prometheus' own library: that one keeps a
// registry of all series between scrapes, while everything here is known
// elsewhere already and read when somebody asks; and it would bring a dozen
// modules into a daemon that runs as root. The tests read what is written with
// Prometheus' parser.
package metrics
