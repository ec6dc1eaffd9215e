// Command slackfake runs a fake of Slack alone: a workspace with a few people and one
// channel, for an app that is pointed at it. It prints what the app has to be told, takes
// what people do as lines on standard input, and shows the workspace at its address.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/muster-release/muster/cmd/internal/alone"
	"github.com/muster-release/muster/cmd/internal/listen"
	"github.com/muster-release/muster/integrations/slack/slackfake"
)

func main() {
	alone.Main(func(ctx context.Context, args []string, out io.Writer) error { return run(ctx, args, os.Stdin, out) })
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	flags, address := alone.Flags("slackfake", "127.0.0.1:8090", "address of the Web API and the page", out)
	var opts slackfake.Options
	flags.StringVar(&opts.App, "app", "", "base URL of the app, for deliveries over HTTP; empty: Socket Mode")
	flags.StringVar(&opts.Bot, "bot", "muster", "name of the bot")
	flags.StringVar(&opts.Command, "command", "/muster", "the app's slash command")
	flags.BoolVar(&opts.NoTiers, "no-tiers", false, "do not limit the rate of calls")
	people := flags.String("people", "ann:ann@boutique.example,bob:bob@boutique.example,you:you@boutique.example", "people, as NAME:EMAIL with commas between")
	channel := flags.String("channel", "releases", "name of the channel")
	if err := flags.Parse(args); err != nil {
		return err
	}
	opts.Listen = *address
	w, err := slackfake.New(opts)
	if err != nil {
		return fmt.Errorf("slackfake: %w", listen.Explain(*address, err))
	}
	defer w.Close()
	members := []string{slackfake.BotUser}
	for one := range strings.SplitSeq(*people, ",") {
		name, email, _ := strings.Cut(one, ":")
		id := w.AddUser(slackfake.User{Name: name, Email: email})
		members = append(members, id)
		fmt.Fprintf(out, "user            %s %s %s\n", id, name, email)
	}
	id := w.AddChannel(slackfake.Channel{Name: *channel, Members: members})
	fmt.Fprintf(out, "channel         %s #%s\npage            %s\napi url         %s\nbot token       %s\napp token       %s\nsigning secret  %s\n",
		id, *channel, w.URL(), w.APIURL(), w.BotToken(), w.AppToken(), w.SigningSecret())
	fmt.Fprintf(out, "\n%s\n\n", slackfake.Help)
	ended := make(chan error, 1)
	go func() { ended <- w.Converse(ctx, in, out) }()
	select {
	case err = <-ended:
	case <-ctx.Done(): // a read from the terminal cannot be interrupted
		return nil
	}
	if err == nil {
		<-ctx.Done() // the conversation is over, the workspace stays until it is told to end
	}
	return err
}
