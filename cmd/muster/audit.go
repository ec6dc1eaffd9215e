package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-release/muster/playbooks"
	"github.com/muster-release/muster/store"
)

// auditFlags say which logs are meant.
type auditFlags struct {
	data, log string
	run       int
}

func newAudit() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Check and export the record of what happened",
		Long: "Every run and every environment has a log whose entries are chained by their hashes.\n" +
			"The store must not be in use: stop the server first.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		newAuditCommand("verify", "Compute all hashes again, and exit with 1 if one does not match", auditVerify),
		newAuditCommand("export", "Write every event as a line of JSON; docs/audit.md says what is in it", auditExport),
	)
	return c
}

func newAuditCommand(name, short string, do func(context.Context, io.Writer, *archive, auditFlags) error) *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use:   name + " --data DIR",
		Short: short,
		Args:  noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "data"); err != nil {
				return err
			}
			if c.Flags().Changed("run") {
				if f.run <= 0 || f.log != "" {
					return misuse("audit %s: --run wants a number above 0, and no --log beside it", name)
				}
				f.log = "run/" + strconv.Itoa(f.run)
			}
			a, err := openArchive(f.data)
			if err != nil {
				return err
			}
			defer a.Close()
			out := bufio.NewWriter(c.OutOrStdout())
			return errors.Join(do(c.Context(), out, a, f), out.Flush())
		},
	}
	c.Flags().StringVar(&f.data, "data", "", "the data folder of a stopped server")
	c.Flags().IntVar(&f.run, "run", 0, "only this run")
	c.Flags().StringVar(&f.log, "log", "", "only this log: run/NUMBER or env/NAME")
	return c
}

// logs returns the names of the logs that are meant.
func (f auditFlags) logs(ctx context.Context, a *archive) ([]string, error) {
	var names []string
	for head, err := range a.logs.List(ctx, f.log) {
		if err != nil {
			return nil, err
		}
		if f.log == "" || head.Log == f.log {
			names = append(names, head.Log)
		}
	}
	if f.log != "" && len(names) == 0 {
		return nil, misuse("audit: there is no log %q in %q", f.log, a.store.Path())
	}
	return names, nil
}

func auditVerify(ctx context.Context, w io.Writer, a *archive, f auditFlags) error {
	names, err := f.logs(ctx, a)
	if err != nil {
		return err
	}
	width, bad := 0, 0
	for _, name := range names {
		width = max(width, len(name))
	}
	for _, name := range names {
		head, err := a.logs.Verify(ctx, name)
		switch {
		case errors.Is(err, store.ErrCorrupt):
			bad++
			fmt.Fprintf(w, "%-*s  CORRUPT  %v\n", width, name, err)
		case err != nil:
			return err
		default:
			fmt.Fprintf(w, "%-*s  ok  %s  head %s\n", width, name, count(int(head.Len), "event"), head.Hash)
		}
	}
	if bad > 0 {
		return fmt.Errorf("audit verify: %d of %s corrupt: what they say from there on was changed after it was written", bad, count(len(names), "log"))
	}
	_, err = fmt.Fprintf(w, "%s, all as they were written\n", count(len(names), "log"))
	return err
}

// exported is one line of the export. The first ten fields are always there;
// the fields of Event that have the same names are hidden by them.
type exported struct {
	Log    string              `json:"log"`
	Run    string              `json:"run"`
	Seq    uint64              `json:"seq"`
	Time   time.Time           `json:"time"`
	Type   playbooks.EventType `json:"type"`
	Step   string              `json:"step"`
	Module string              `json:"module"`
	By     string              `json:"by"`
	Digest string              `json:"digest"`
	Hash   store.Hash          `json:"hash"`
	playbooks.Event
}

func auditExport(ctx context.Context, w io.Writer, a *archive, f auditFlags) error {
	names, err := f.logs(ctx, a)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, name := range names {
		x := exporter{a: a, log: name}
		x.run, _ = strings.CutPrefix(name, "run/")
		if x.run == name {
			x.run = ""
		}
		for rec, err := range a.logs.Read(ctx, name, 1) {
			if err != nil {
				return fmt.Errorf("audit export: %w", err)
			}
			line, err := x.line(ctx, rec)
			if err != nil {
				return fmt.Errorf("audit export: log %q, event %d: %w", name, rec.Seq, err)
			}
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// exporter remembers of a log what its later events leave unsaid.
type exporter struct {
	a        *archive
	log, run string
	book     playbooks.Digest // what the run follows
}

func (x *exporter) line(ctx context.Context, rec store.Record) (exported, error) {
	var e playbooks.Event
	if err := json.Unmarshal(rec.Data, &e); err != nil {
		return exported{}, err
	}
	if e.Type == playbooks.EventCreated || e.Type == playbooks.EventAdopted {
		x.book = e.Digest
	}
	out := exported{
		Log: x.log, Run: x.run, Seq: rec.Seq, Time: e.Time, Type: e.Type,
		Step: e.Step, Module: e.Module, By: e.By, Hash: rec.Hash, Event: e,
	}
	if x.run == "" {
		out.Run = e.Run
	}
	digest := e.Digest
	if digest.IsZero() {
		digest = x.book
	}
	if !digest.IsZero() {
		out.Digest = digest.String()
	}
	switch {
	case out.Module != "":
	case e.Live != nil:
		out.Module = e.Live.Module
	case e.Freeze != nil:
		out.Module = e.Freeze.Module
	case e.Step != "" && !x.book.IsZero():
		pb, err := x.a.book(ctx, x.book)
		if err != nil {
			return exported{}, err
		}
		if s := pb.Step(e.Step); s != nil {
			out.Module = s.Module
		}
	}
	return out, nil
}
