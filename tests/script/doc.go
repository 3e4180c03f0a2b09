// Package script runs the command lines of virbr and virbrd as people type
// them: each file of testdata is a script and the files that it works on
// (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript).
//
//	go test ./tests/script -run Script/check
//	go test ./tests/script -update         rewrites what scripts compare with
package script
