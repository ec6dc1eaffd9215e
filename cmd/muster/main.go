package main
import (
_ "github.com/goccy/go-yaml"
_ "github.com/goccy/go-yaml/parser"
_ "go.etcd.io/bbolt"
_ "github.com/prometheus/client_golang/prometheus/promhttp"
_ "github.com/Masterminds/semver/v3"
_ "github.com/spf13/cobra"
_ "github.com/charmbracelet/bubbletea"
_ "github.com/charmbracelet/bubbles/textinput"
_ "github.com/charmbracelet/lipgloss"
_ "golang.org/x/term"
_ "github.com/agext/levenshtein"
_ "golang.org/x/sync/errgroup"
_ "github.com/rogpeppe/go-internal/testscript"
_ "github.com/rogpeppe/go-internal/txtar"
)
func main(){}
