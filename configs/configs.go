// Package configs reads Muster's configuration: the catalog of modules and
// environments, the people and what they may do, and the settings of the
// server. It also carries the files that ship with Muster.
//
// The configuration is strict YAML. A key that does not exist, a value of the
// wrong type, a name that nothing bears: every mistake in every file is
// reported in one go, each with its place, the line it stands in and what was
// probably meant.
//
// A configuration may be split: `include` lists files, folders and patterns,
// relative to the file that names them, and a folder stands for every .yaml and
// .yml file in it and below, in the order of names. Hidden files and folders
// are passed over, and links to folders are not followed, so that a mounted
// Kubernetes ConfigMap reads as what it shows.
//
// Secrets, and the settings under `server`, may be given as `${NAME}`: the whole
// value is then taken from the environment variable. A secret may also be
// `file:PATH`, relative to the file that says so. Nothing else is replaced: a
// catalog means the same on every machine.
//
// YAML anchors, aliases and merge keys work. Text may be written without quotes
// even where it looks like a number: `version: 1.10` is the version 1.10.
package configs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/muster-release/muster/playbooks"
)

// Config is a configuration that was read without a mistake. It is immutable.
type Config struct {
	Catalog *playbooks.Catalog
	Server  Server
	// Files are all files that were read, in the order in which they were read.
	Files []string

	index map[string]mark
}

// Server holds the settings of `muster serve`.
type Server struct {
	// Listen is the address for HTTP, host:port; DefaultListen where nothing is said.
	Listen string
	// Data is the folder of the store, relative to the working directory;
	// DefaultData where nothing is said.
	Data string
	// URL is how people reach the server, without a slash at the end; empty if unknown.
	URL string
	// Tokens open the HTTP command endpoint. No two are equal.
	Tokens []Token
	// World is where releases go: WorldLocal, or empty for the outside systems
	// that are configured.
	World World
	// Slack is the workspace in which people talk to Muster; nil if none is
	// configured. Beside WorldLocal it takes the place of that world's chat.
	Slack *Slack
	// GitLab, Jira, PagerDuty and Alertmanager are the systems that Muster works with, each
	// nil if it is not configured.
	GitLab       *GitLab
	Jira         *Jira
	PagerDuty    *PagerDuty
	Alertmanager *Alertmanager
	// Registries are those of container images that ask who somebody is.
	Registries []Registry
}

// Slack says how to reach a Slack workspace. At least one of AppToken and
// SigningSecret is there.
type Slack struct {
	BotToken Secret // xoxb-…
	// AppToken (xapp-…) is for Socket Mode; empty: Slack delivers over HTTP alone.
	AppToken Secret
	// SigningSecret is for what Slack delivers over HTTP; empty: nothing does.
	SigningSecret Secret
	// APIURL is where Slack's Web API is, with a slash at the end; empty: at Slack.
	APIURL string
	// Connections is how many Socket Mode connections are kept open, from 1 to 10;
	// DefaultConnections where nothing is said.
	Connections int
	// Channels are where releases to environments without channels of their own are
	// shown: #name or an ID.
	Channels []string
}

// World is a stand-in for all outside systems.
type World string

// WorldLocal is the embedded cluster, forge, tracker and chat of
// integrations/local, for trying Muster out.
const WorldLocal World = "local"

const (
	// DefaultListen keeps the server private to its machine.
	DefaultListen = "127.0.0.1:8080"
	DefaultData   = "data"
	// DefaultConnections are two, so that one can be renewed while the other listens.
	DefaultConnections = 2
)

// Token lets a program speak for a person.
type Token struct {
	Person string // ID of a person of the catalog
	Token  Secret
}

// An Option changes how a configuration is read.
type Option func(*loader)

// WithEnv looks environment variables up with lookup instead of os.LookupEnv.
func WithEnv(lookup func(name string) (value string, ok bool)) Option {
	return func(l *loader) { l.env = lookup }
}

// Load reads the configuration in a file, or in all files of a folder. The error
// is an *Errors with every mistake, unless path itself cannot be read: then it
// wraps the file system's, fs.ErrNotExist for instance. Load keeps nothing open,
// and may be called again at any time.
func Load(path string, opts ...Option) (*Config, error) {
	return LoadFS(disk{}, filepath.ToSlash(path), opts...)
}

// LoadFS is Load for a file system other than the machine's own. Its secrets in
// files come from there too.
func LoadFS(fsys fs.FS, name string, opts ...Option) (*Config, error) {
	l := &loader{
		fsys: fsys,
		env:  os.LookupEnv,
		done: make(map[string]bool),
	}
	for _, opt := range opts {
		opt(l)
	}
	if err := l.root(name); err != nil {
		return nil, fmt.Errorf("read configuration %q: %w", name, err)
	}
	d := newDecoder(l)
	config := d.config()
	if len(l.found) > 0 {
		return nil, newErrors(l.found)
	}
	return config, nil
}

// Problem says message of the thing that path leads to, for mistakes that show
// only later, when a release is planned. The path is that of the keys and names:
// "modules", "cart", or "modules", "cart", "needs", "redis", and likewise for
// environments, people and groups. Without such a thing the problem has no place.
func (c *Config) Problem(message string, path ...string) Problem {
	return problem{at: c.index[indexKey(path)], message: message}.render()
}

func indexKey(path []string) string { return strings.Join(path, "\x00") }

// disk is the machine's own file system, by slash-separated names that need not
// stay below a root.
type disk struct{}

func (disk) Open(name string) (fs.File, error)          { return os.Open(filepath.FromSlash(name)) }
func (disk) Stat(name string) (fs.FileInfo, error)      { return os.Stat(filepath.FromSlash(name)) }
func (disk) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(filepath.FromSlash(name)) }
