// Command gitlabfake runs a fake of GitLab alone: a few projects, or those of a seed file,
// for an app that is pointed at it. It prints what the app has to be told, and shows its
// state at its address.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/muster-release/muster/cmd/internal/alone"
	"github.com/muster-release/muster/cmd/internal/listen"
	"github.com/muster-release/muster/integrations/gitlab/gitlabfake"
)

func main() { alone.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, address := alone.Flags("gitlabfake", "127.0.0.1:8091", "address to listen on", out)
	var opts gitlabfake.Options
	path := flags.String("base-path", "", "path below which it is installed, such as /git")
	flags.StringVar(&opts.Token, "token", "", "token of the administrator; empty: a random one")
	flags.BoolVar(&opts.NoInputs, "no-inputs", false, "be a server that does not know pipeline inputs")
	flags.IntVar(&opts.RateLimit, "rate-limit", 0, "calls a minute for each token; 0: no limit")
	file := flags.String("seed", "", "JSON file with users, projects and so on; empty: three small projects")
	hook := flags.String("hook", "", "address of the app's webhook, for all events of all projects")
	var told gitlabfake.Hook
	flags.StringVar(&told.Secret, "hook-secret", "", "secret token of that webhook")
	flags.StringVar(&told.Signing, "hook-signing", "", "signing token of that webhook, whsec_ and base64")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var seed io.Reader
	if *file != "" {
		f, err := os.Open(*file)
		if err != nil {
			return err
		}
		defer f.Close()
		seed = f
	}
	l, err := listen.At(ctx, *address)
	if err != nil {
		return fmt.Errorf("gitlabfake: %w", err)
	}
	defer l.Close()
	opts.URL = "http://" + l.Addr().String()
	if base := strings.Trim(*path, "/"); base != "" {
		opts.URL += "/" + base
	}
	s, err := gitlabfake.New(opts)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Seed(seed); err != nil {
		return err
	}
	told.URL = *hook
	if told.URL != "" {
		for _, g := range s.TopGroups() {
			s.AddHook(g, told)
		}
	}
	fmt.Fprintf(out, "page   %s/\napi    %s\ntoken  %s\n\n%s", s.URL(), s.APIURL(), s.Token(), hint(s, told))
	return alone.Serve(ctx, l, s)
}

// hint says what Muster has to be told. Its configuration takes no secret that is written down, so these are variables.
func hint(s *gitlabfake.Server, hook gitlabfake.Hook) string {
	keys, exports := "", "export GITLAB_TOKEN="+s.Token()
	for _, one := range [][3]string{{"webhookSecret", "GITLAB_WEBHOOK_SECRET", hook.Secret}, {"signingSecret", "GITLAB_SIGNING_TOKEN", hook.Signing}} {
		if one[2] != "" {
			keys += fmt.Sprintf(", %s: \"${%s}\"", one[0], one[1])
			exports += " " + one[1] + "=" + one[2]
		}
	}
	text := fmt.Sprintf("For Muster's configuration:\n\nserver:\n  gitlab: {url: %q, token: \"${GITLAB_TOKEN}\"%s}\n\nAnd where Muster is started:\n\n%s\n", s.URL(), keys, exports)
	if hook.URL == "" {
		return text + "\nNo webhooks are sent; begin with --hook http://127.0.0.1:PORT/gitlab/webhook to send them there.\n"
	}
	return text + "\nA hook that cannot be delivered four times is put off for a minute and longer, as GitLab does it: start Muster first.\n"
}
