// Command jirafake runs a fake of Jira alone, Cloud or Data Center, with a small release
// project and a shop project. It prints how to point Muster at it, and shows its issues at
// its address.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/muster-release/muster/cmd/internal/alone"
	"github.com/muster-release/muster/cmd/internal/listen"
	"github.com/muster-release/muster/integrations/jira/jirafake"
)

func main() { alone.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags, address := alone.Flags("jirafake", "127.0.0.1:8092", "address of the API and the page", out)
	flavor := flags.String("flavor", string(jirafake.Cloud), "cloud or datacenter")
	lag := flags.Duration("index-lag", 2*time.Second, "how long a change takes until search knows of it")
	file := flags.String("seed", "", "JSON file of people, projects and issues instead of the built-in ones")
	hook := flags.String("webhook", "", "where webhooks go, as http://127.0.0.1:8080/jira/webhook; empty: nowhere")
	secret := flags.String("webhook-secret", "jirafake-webhook-secret", "what webhooks are signed with")
	if err := flags.Parse(args); err != nil {
		return err
	}
	seed := builtIn()
	if *file != "" {
		raw, err := os.ReadFile(*file)
		if err != nil {
			return fmt.Errorf("jirafake: seed: %w", err)
		}
		seed = world{}
		if err := json.Unmarshal(raw, &seed); err != nil {
			return fmt.Errorf("jirafake: seed %q: %w", *file, err)
		}
	}
	l, err := listen.At(ctx, *address)
	if err != nil {
		return fmt.Errorf("jirafake: %w", err)
	}
	defer l.Close()
	j, err := jirafake.New(jirafake.Options{Flavor: jirafake.Flavor(*flavor), BaseURL: "http://" + l.Addr().String(), IndexLag: *lag})
	if err != nil {
		return err
	}
	defer j.Close()
	people, err := seed.plant(j)
	if err != nil {
		return err
	}
	if *hook != "" {
		j.AddWebhook(jirafake.Webhook{URL: *hook, Secret: *secret, Client: &http.Client{Timeout: 30 * time.Second}})
	}
	fmt.Fprintf(out, "page            %s\nflavor          %s\nindex lag       %s\n", j.URL(), *flavor, *lag)
	for _, p := range seed.Projects {
		fmt.Fprintf(out, "project         %s %s\n", p.Key, p.Name)
	}
	for _, u := range people {
		fmt.Fprintf(out, "user            %s %s token %s\n", u.Name, u.Email, u.Token)
	}
	fmt.Fprintf(out, "\n%s", hint(j, *flavor, seed, people, *hook, *secret))
	return alone.Serve(ctx, l, j)
}

// hint says what Muster has to be told, and how to try it by hand. Muster's configuration takes no secret that is written
// down, so these are variables.
func hint(j *jirafake.Jira, flavor string, seed world, people []jirafake.User, hook, secret string) string {
	if len(people) == 0 {
		return "Nobody may log in: the seed has no people.\n"
	}
	me, login, try, project := people[0], "", "", "KEY"
	if len(seed.Projects) > 0 {
		project = seed.Projects[0].Key
	}
	exports := "export JIRA_TOKEN=" + me.Token
	if flavor == string(jirafake.Cloud) {
		login = fmt.Sprintf(", email: %s", me.Email)
		try = fmt.Sprintf("curl -u %s:%s %s/rest/api/3/myself", me.Email, me.Token, j.URL())
	} else {
		try = fmt.Sprintf("curl -H 'Authorization: Bearer %s' %s/rest/api/2/myself", me.Token, j.URL())
	}
	login += `, token: "${JIRA_TOKEN}"`
	if hook != "" {
		login += `, webhookSecret: "${JIRA_WEBHOOK_SECRET}"`
		exports += " JIRA_WEBHOOK_SECRET=" + secret
	}
	text := fmt.Sprintf("For Muster's configuration:\n\nserver:\n  jira: {url: %q%s, project: %s}\n\nAnd where Muster is started:\n\n%s\n", j.URL(), login, project, exports)
	if hook == "" {
		text += "\nNo webhooks are sent; begin with --webhook http://127.0.0.1:PORT/jira/webhook to send them there.\n"
	}
	return text + "\nTo try it by hand:\n\n" + try + "\n"
}
