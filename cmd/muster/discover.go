package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/muster-release/muster/configs"
	"github.com/muster-release/muster/configs/discover"
	"github.com/muster-release/muster/integrations/gitlab"
	"github.com/muster-release/muster/playbooks"
)

// exitDifferent is the exit code of `muster discover --check` where the catalog is to be changed.
const exitDifferent = 3

// discoverTime is how long `muster discover` may take: a group may have thousands of projects, and a
// forge lets us ask so often in a minute.
const discoverTime = time.Hour

const (
	// discoverBranch is the branch of the merge request that updates the catalog.
	discoverBranch = "muster/discover"
	discoverTitle  = "Update the needs that were discovered"
	// mostDescribed is how many bytes of what was found the merge request shows: GitLab takes more, and
	// nobody reads it.
	mostDescribed = 60_000
)

// discoverFlags are what `muster discover` was told.
type discoverFlags struct {
	config, ref, output, write, merge string
	groups, projects, dirs            []string
	check                             bool
}

var discoverFormats = []string{"text", "json", "yaml"}

func newDiscover() *cobra.Command {
	var f discoverFlags
	c := &cobra.Command{
		Use:   "discover --config FILE [--group G]... [--project P]... | [--dir D]...",
		Short: "Find out what modules need, from their repositories",
		Long: "Discover reads go.mod, package.json and .muster.yaml in the repositories of a GitLab,\n" +
			"maps what they provide and need to the modules of the catalog, and shows what the\n" +
			"catalog does not have. Without --group, --project and --dir it looks at the projects\n" +
			"that the catalog's modules name as their source. With --dir it looks at folders of\n" +
			"this machine instead, and needs no GitLab.\n\n" +
			"What the catalog declares wins over what is found. Found needs go to a file of their\n" +
			"own, which the catalog includes; --write and --merge-request write it.\n\n" +
			"It exits with 0 when it could look, whatever it found. With --check it exits with 3 if\n" +
			"needs of the catalog are to be changed, and with 1 if not all could be looked at.",
		Example: "  muster discover --config muster.yaml --dir ..\n" +
			"  muster discover --config muster.yaml --group shop --write discovered.yaml\n" +
			"  muster discover --config muster.yaml --group shop --merge-request ops/catalog:discovered.yaml",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return runDiscover(c, f) },
	}
	c.Flags().StringVar(&f.config, "config", "", "the configuration, a file or a folder")
	c.Flags().StringArrayVar(&f.groups, "group", nil, "a group of GitLab to look through, with all groups in it")
	c.Flags().StringArrayVar(&f.projects, "project", nil, "a project of GitLab to look at")
	c.Flags().StringArrayVar(&f.dirs, "dir", nil, "a folder to look through: a checkout, or one with checkouts in it")
	c.Flags().StringVar(&f.ref, "ref", "", "the branch, tag or commit to look at, instead of each project's default branch")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "how to show it: "+strings.Join(discoverFormats, ", "))
	c.Flags().StringVar(&f.write, "write", "", "the file to write what was found to, to be included by the configuration")
	c.Flags().StringVar(&f.merge, "merge-request", "", "PROJECT:PATH, the file in GitLab that a merge request is to update")
	c.Flags().BoolVar(&f.check, "check", false, "exit with 3 if needs of the catalog are to be changed")
	return c
}

func runDiscover(c *cobra.Command, f discoverFlags) error {
	if err := required(c, "config"); err != nil {
		return err
	}
	project, path, ok := strings.Cut(f.merge, ":")
	switch {
	case !slices.Contains(discoverFormats, f.output):
		return misuse("discover: --output %q: want one of %s", f.output, strings.Join(discoverFormats, ", "))
	case len(f.dirs) > 0 && len(f.groups)+len(f.projects) > 0:
		return misuse("discover: --dir looks at this machine, --group and --project at GitLab: use one of them at a time")
	case len(f.dirs) > 0 && f.ref != "":
		return misuse("discover: --dir reads folders as they are: check %q out first", f.ref)
	case f.merge != "" && (!ok || project == "" || path == "" || strings.HasPrefix(path, "/")):
		return misuse("discover: --merge-request %q: want PROJECT:PATH, such as ops/catalog:discovered.yaml", f.merge)
	case slices.Contains(slices.Concat(f.groups, f.projects, f.dirs), ""):
		return misuse("discover: --group, --project and --dir want a name each")
	}
	config, err := configs.Load(f.config, configs.ForDiscovery())
	if err != nil {
		return usageError{configError(f.config, err)}
	}
	ctx, cancel := context.WithTimeoutCause(c.Context(), discoverTime, errors.New("it takes too long"))
	defer cancel()
	options := discover.Options{Groups: f.groups, Projects: f.projects, Ref: f.ref}
	var repos discover.Repositories
	var forge *gitlab.GitLab
	if len(f.dirs) == 0 || f.merge != "" {
		if forge, err = discoverForge(config); err != nil {
			return err
		}
	}
	if len(f.dirs) > 0 {
		repos, options.Groups = discover.NewFolders(), f.dirs
	} else {
		repos, options.Host = forgeRepositories{forge.Repositories()}, forgeHost(config.Server.GitLab.URL)
	}
	result, err := discover.Run(ctx, repos, config.Catalog, options)
	if err != nil {
		return err
	}
	d := result.Compare()
	if err := writeDiscovered(c.OutOrStdout(), f.output, result, d); err != nil {
		return err
	}
	notes := c.ErrOrStderr()
	if f.output == "text" {
		notes = c.OutOrStdout()
	}
	if f.write != "" || f.merge != "" {
		if err := circular(config.Catalog, d); err != nil {
			return err
		}
	}
	if f.write != "" {
		if err := saveDiscovered(notes, f.write, config, d); err != nil {
			return err
		}
	}
	if f.merge != "" {
		if err := proposeDiscovered(ctx, notes, forge.Repositories(), project, path, result, d); err != nil {
			return err
		}
	}
	switch {
	case f.check && d.Any():
		return said{exitDifferent}
	case f.check && len(result.Problems) > 0:
		return fmt.Errorf("discover: not all could be looked at: %s", count(len(result.Problems), "problem"))
	}
	return nil
}

func discoverForge(config *configs.Config) (*gitlab.GitLab, error) {
	s := config.Server.GitLab
	if s == nil {
		return nil, misuse("discover: there is no server: gitlab: in the configuration to look at; use --dir to look at folders of this machine")
	}
	return gitlab.New(gitlab.Options{
		URL: s.URL, Token: s.Token.Reveal(),
		Catalog: func() *playbooks.Catalog { return config.Catalog },
	})
}

// forgeHost is what stands before a project in the source of a module.
func forgeHost(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Host + strings.TrimRight(u.Path, "/")
}

// forgeRepositories are GitLab's repositories as discover wants them.
type forgeRepositories struct{ gitlab gitlab.Repositories }

func (r forgeRepositories) Projects(ctx context.Context, group string) ([]string, error) {
	found, err := r.gitlab.Projects(ctx, group)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, p := range found {
		if !p.Archived && p.DefaultBranch != "" {
			paths = append(paths, p.Path)
		}
	}
	return paths, nil
}

// head is GitLab's name for the default branch's newest commit.
const head = "HEAD"

func (r forgeRepositories) Files(ctx context.Context, project, ref string, names []string) ([]string, error) {
	if ref == "" {
		ref = head
	}
	return r.gitlab.Files(ctx, project, ref, names)
}

func (r forgeRepositories) Read(ctx context.Context, project, ref, path string) ([]byte, error) {
	if ref == "" {
		ref = head
	}
	data, found, err := r.gitlab.Read(ctx, project, ref, path)
	if err == nil && !found {
		err = errors.New("it is not there any more")
	}
	return data, err
}

func writeDiscovered(w io.Writer, format string, r *discover.Result, d *discover.Difference) error {
	var err error
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		err = enc.Encode(struct {
			Found      *discover.Result     `json:"found"`
			Difference *discover.Difference `json:"difference"`
		}{r, d})
	case "yaml":
		_, err = w.Write(d.File())
	default:
		_, err = io.WriteString(w, r.Text(d))
	}
	return err
}

// circular refuses to write needs that nothing could be planned with.
func circular(c *playbooks.Catalog, d *discover.Difference) error {
	if c.Cycles != playbooks.RefuseCycles || len(d.Circles) == 0 {
		return nil
	}
	return fmt.Errorf("discover: nothing was written: %s would need each other in a circle, and cycles: refuse then plans nothing; declare one of these needs with kind: test, or set cycles: together",
		strings.Join(d.Circles[0], " → "))
}

// saveDiscovered writes the file that the configuration includes.
func saveDiscovered(w io.Writer, name string, config *configs.Config, d *discover.Difference) error {
	content := d.File()
	before, err := os.ReadFile(name)
	switch {
	case err == nil && bytes.Equal(before, content):
		_, err = fmt.Fprintf(w, "%s is up to date.\n", name)
		return err
	case err == nil && !bytes.HasPrefix(before, content[:bytes.IndexByte(content, '\n')]):
		return misuse("discover: --write %s: that file is not one that discover has made; name another, or move it away", name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("discover: --write: %w", err)
	}
	if err := replaceFile(name, content); err != nil {
		return fmt.Errorf("discover: --write: %w", err)
	}
	note := fmt.Sprintf("%s is written: %s.", name, count(len(d.Needs), "need"))
	if !includes(config, name) {
		note += fmt.Sprintf(" Add it to `include` in %s.", config.Files[0])
	}
	_, err = fmt.Fprintln(w, note)
	return err
}

// includes reports whether a file is part of the configuration already.
func includes(config *configs.Config, name string) bool {
	want, err := os.Stat(name)
	return err == nil && slices.ContainsFunc(config.Files, func(file string) bool {
		have, err := os.Stat(filepath.FromSlash(file))
		return err == nil && os.SameFile(want, have)
	})
}

// replaceFile writes a file whole, or not at all.
func replaceFile(name string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".discovered-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone by then if all went well
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// proposeDiscovered opens the merge request that updates the file, or brings the open one up to
// date. Without a change for the catalog there is none: a line that moved is no reason to review.
func proposeDiscovered(ctx context.Context, w io.Writer, repos gitlab.Repositories, project, path string, r *discover.Result, d *discover.Difference) error {
	if !d.Any() {
		_, err := fmt.Fprintln(w, "There is nothing to propose.")
		return err
	}
	text := strings.ReplaceAll(r.Text(d), "```", "'''")
	if len(text) > mostDescribed {
		text = strings.ToValidUTF8(text[:mostDescribed], "") + "\n…\n"
	}
	description := "What `muster discover` found. What somebody declares in the catalog wins.\n\n```\n" + text + "```\n"
	address, err := repos.Propose(ctx, project, discoverBranch, discoverTitle, description, path, d.File())
	if err != nil {
		return fmt.Errorf("discover: the merge request may or may not be there, and asking again does no harm: %w", err)
	}
	if address == "" {
		_, err = fmt.Fprintf(w, "%s of %s has it already: is it included, and is the configuration here up to date?\n", path, project)
		return err
	}
	_, err = fmt.Fprintf(w, "Proposed: %s\n", address)
	return err
}
