package configs

import (
	"embed"
	"io/fs"
)

//go:embed demo
var shipped embed.FS

// Demo returns the configuration of the demo, for LoadFS(Demo(), ".").
func Demo() fs.FS {
	demo, err := fs.Sub(shipped, "demo")
	if err != nil {
		panic(err) // "demo" is a valid path
	}
	return demo
}
