// Command muster coordinates releases: it compiles playbooks from a catalog of
// modules, asks people, drives the deployment and keeps everyone informed.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
