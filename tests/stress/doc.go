// Package stress puts virbrd under more load than a day's work has. The sizes
// are small enough for every run of the tests; `make stress` runs the same tests
// in full, and prints figures.
package stress
