package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-release/muster/bot/chat"
	"github.com/muster-release/muster/bot/web"
	"github.com/muster-release/muster/cmd/internal/listen"
	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/integrations/local"
	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
	"github.com/muster-release/muster/store/bolt"
)

// serveOptions are what `muster serve` was told.
type serveOptions struct {
	config, data, listen string
	killAt               string
	// listening is called with the address once it is bound. Nil: nobody cares.
	listening func(net.Addr)
}

func newServe() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Run for good",
		Long: "Serve drives releases and answers over HTTP: /healthz, /readyz, /metrics, and\n" +
			"POST /api/v1/commands for lines of the command language, by people with a token.\n\n" +
			"SIGHUP reads the configuration again; a bad one is reported and changes nothing.\n" +
			"SIGTERM ends everything in order. Every run goes on with the next start.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "config"); err != nil {
				return err
			}
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			return serve(c.Context(), c.ErrOrStderr(), o, hup)
		},
	}
	c.Flags().StringVar(&o.config, "config", "", "the configuration, a file or a folder")
	c.Flags().StringVar(&o.data, "data", "", "where everything is kept; beats the configuration")
	c.Flags().StringVar(&o.listen, "listen", "", "the address for HTTP; beats the configuration")
	c.Flags().StringVar(&o.killAt, "kill-at", "", "for tests: end this process with SIGKILL when it passes POINT:N for the n-th time")
	_ = c.Flags().MarkHidden("kill-at")
	return c
}

// How long the parts of a shutdown may take.
const drainTime = 10 * time.Second

// serve runs until ctx ends. Each signal on reload reads the configuration again.
func serve(ctx context.Context, logTo io.Writer, o serveOptions, reload <-chan os.Signal) (err error) {
	config, err := loadConfig(o.config)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(logTo, nil))
	listener, err := openAddress(ctx, cmp.Or(o.listen, config.Server.Listen))
	if err != nil {
		return err
	}
	defer listener.Close()
	source := &configSource{path: o.config}
	source.current.Store(config)
	var kill *killer
	if o.killAt != "" {
		if kill, err = newKiller(o.killAt, talkPoints...); err != nil {
			return err
		}
	}
	a, err := openServer(ctx, cmp.Or(o.data, config.Server.Data), source, kill, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	server := web.NewServer(web.New(web.Options{
		Ready: a.Ready, Execute: a.bot.Execute, Tokens: source.tokens, Metrics: a.metrics, Doors: a.doors(), Log: log,
		Render: func(c chat.Card) string { return local.Render(c, plainWidth, false) },
	}), log)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.Start(ctx)
	log.Info("muster serves", "address", listener.Addr().String(), "version", thisBuild().Version, "open runs", len(a.engine.OpenRuns()))
	if !private(listener.Addr()) {
		log.Warn("this is plain HTTP, and other machines can reach it: tokens can be read on the way; put a proxy with TLS in front, or listen at a loopback address", "address", listener.Addr().String())
	}
	if o.listening != nil {
		o.listening(listener.Addr())
	}
	for {
		select {
		case <-reload:
			if summary, err := a.Reload(ctx); err != nil {
				logReload(log, err)
			} else {
				log.Info("the configuration is reloaded: " + summary)
			}
		case err := <-served:
			return fmt.Errorf("serve: %w", err)
		case <-ctx.Done():
			log.Info("shutting down; every run goes on with the next start", "open runs", len(a.engine.OpenRuns()))
			a.resumed.Store(false)
			drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
			defer cancel()
			if err := server.Shutdown(drain); err != nil {
				log.Warn("some requests were cut off", "error", err)
				server.Close()
			}
			<-served
			return nil
		}
	}
}

// logReload says why a configuration was not taken, with a line for each mistake.
func logReload(log *slog.Logger, err error) {
	var mistakes *configs.Errors
	if !errors.As(err, &mistakes) {
		log.Error("the configuration was not reloaded; the old one stays in force", "error", err)
		return
	}
	for _, p := range mistakes.Problems {
		at := p.Position
		p.Position, p.Excerpt = configs.Position{}, ""
		log.Error("a mistake in the configuration", "at", at.String(), "mistake", p.String())
	}
	log.Error("the configuration was not reloaded; the old one stays in force", "mistakes", len(mistakes.Problems))
}

func openAddress(ctx context.Context, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil { // the configuration's own address was looked at when it was read
		return nil, misuse("--listen %s: want HOST:PORT, such as %s", address, configs.DefaultListen)
	}
	l, err := listen.At(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	return l, nil
}

// private reports whether only programs of this machine can reach an address.
func private(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// openServer opens what the configuration asks for, and says what it does not
// ask for: outside systems that are not configured do not exist. Kill, unless nil, ends the
// process between it and Slack.
func openServer(ctx context.Context, dir string, source *configSource, kill *killer, log *slog.Logger) (a *app, err error) {
	config := source.current.Load()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, misuse("serve: the data folder: %w", err)
	}
	s, err := bolt.Open(filepath.Join(dir, storeFile), bolt.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	o := appOptions{Catalog: config.Catalog, Store: s, Server: &config.Server, Log: log, Reload: source.reload}
	defer func() {
		if err != nil {
			if o.World != nil {
				o.World.Close()
			}
			s.Close()
		}
	}()
	if config.Server.World == configs.WorldLocal {
		if o.World, err = local.Open(filepath.Join(dir, worldFolder), local.Options{}); err != nil {
			return nil, err
		}
		source.builds = o.World.Forge
		if err := source.publish(config.Catalog); err != nil {
			return nil, err
		}
		log.Warn("releases go to the embedded world: nothing real is touched", "setting", "server: world: local")
	} else if config.Server.GitLab == nil && len(config.Server.Registries) == 0 {
		log.Warn("no deployer is configured: plans can be made, and a release stops at its first deployment")
	}
	switch {
	case config.Server.Slack != nil:
		people := func() []playbooks.Person { return source.current.Load().Catalog.People }
		var client *http.Client
		if kill != nil {
			client = kill.client()
		}
		o.Talk = slackTalk(config.Server.Slack, people, client, log)
		if kill != nil {
			kill.between(o.Talk)
		}
	case o.World == nil:
		log.Warn("no chat is configured: commands come over HTTP and from comments alone, and no channel is told what happens")
	}
	if len(config.Server.Tokens) == 0 && config.Server.Slack == nil {
		log.Warn("no token is configured under server: tokens: nobody can give commands")
	}
	a, err = newApp(ctx, o)
	if errors.Is(err, store.ErrCorrupt) {
		return nil, fmt.Errorf("serve: %w: nothing was changed; restore %s from a backup, and see what is damaged with: muster audit verify --data %s", err, s.Path(), dir)
	}
	return a, err
}
