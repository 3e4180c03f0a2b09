// Package sequence has virbrd do what nobody planned: random sequences of what
// clients ask for, what others do to the host and what ends daemons. A model
// knows what must come of each; afterwards the host must look exactly as if the
// same definitions had just been started on a new one.
//
// A sequence runs in network, mount and process namespaces of its own, and the
// same definitions are started in others. One that fails is run again without
// parts of it, until what is left cannot be shortened: that is printed, with its
// seed. VIRBR_SEQUENCE_SEED=n runs one seed; a sequence in a file of testdata, one
// op a line, runs every time.
package sequence
