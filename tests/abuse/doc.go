// Package abuse has many clients at once at virbrd: those that mean well, and get
// in each other's way, and those that do not. The first get right answers, the
// others cost nobody but themselves anything, and when all are gone nothing of
// them is left: no goroutine, descriptor, memory, link, process or file. It takes
// some seconds in every run of the tests; `make stress` takes a minute, and more
// clients.
package abuse
