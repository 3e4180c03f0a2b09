// Package crash kills virbrd at each of its system calls, makes each of them fail,
// takes its disks away, and replaces it while guests talk. Afterwards the host must
// be as it was before or as it is to be, and no guest may have noticed.
//
// The program under test is the one that is shipped; see package faulttest. A
// normal run takes some of the calls, by a seed that it prints;
// VIRBR_STRESS=full takes each of them, VIRBR_CRASH_SEED=N the same ones again, and
// VIRBR_CRASH_POINTS=460-480 those that something was found at.
package crash
