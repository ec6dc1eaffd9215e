package configs

import (
	"path"
	"strings"
	"unicode"
)

// source reads a project in the forge: its path, with or without the host before it.
func (d *decoder) source(n *node) string {
	value := d.text(n)
	_, project, isURL := strings.Cut(value, "://")
	if !isURL {
		if account, after, ok := strings.Cut(value, ":"); ok && strings.HasPrefix(account, "git@") {
			project, isURL = strings.TrimPrefix(account, "git@")+"/"+after, true
		}
	}
	if !isURL {
		return value
	}
	hint := ""
	if project = strings.TrimSuffix(strings.TrimRight(project, "/"), ".git"); strings.Contains(project, "@") {
		d.hide(n) // there may be a password before it
	} else {
		hint = "did you mean " + quote(project) + "?"
	}
	d.report(n.at, hint, `"source" wants the path of a project such as payments/api or gitlab.example/payments/api, not an address`)
	return ""
}

// relative reads the path of a file or folder in a project, as short as it can be written.
func (d *decoder) relative(n *node) string {
	value := d.text(n)
	if value == "" {
		if n.kind == text && !n.item {
			d.report(n.at, "", "%q is empty", n.name)
		}
		return ""
	}
	return d.clean(n, value)
}

// clean reports a path that leaves its project, or can be written shorter.
func (d *decoder) clean(n *node, value string) string {
	guess := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(value, `\`, "/")), "/")
	hint := ""
	if guess != "" {
		hint = "did you mean " + quote(guess) + "?"
	}
	switch {
	case strings.Contains(value, `\`):
		d.report(n.at, hint, "the path %q has a backslash in it: folders end with /", value)
	case strings.HasPrefix(value, "/"):
		d.report(n.at, hint, "the path %q begins with /: it is one within the project", value)
	case value == ".." || strings.HasPrefix(value, "../") || strings.Contains(value+"/", "/../"):
		d.report(n.at, "", "the path %q has .. in it, and may lead out of the project", value)
	case guess == "":
		d.report(n.at, "leave it out", "the path %q is the whole project", value)
	case value != guess:
		d.report(n.at, hint, "the path %q can be written shorter", value)
	default:
		return value
	}
	return ""
}

// configPaths reads files and folders of a project; folders end with a slash.
func (d *decoder) configPaths(n *node) []string {
	var paths []string
	for _, item := range d.unique(d.list(n)) {
		value := d.text(item)
		if strings.ContainsAny(value, "*?[") {
			d.report(item.at, "name the folder, with / at its end", "the path %q is a pattern, and only files and folders are compared", value)
			continue
		}
		file := strings.TrimSuffix(value, "/")
		if file == "" && value != "" {
			d.report(item.at, "", `"configPaths" wants files and folders within the project, found %q`, value)
		}
		if file != "" && d.clean(item, file) != "" {
			paths = append(paths, value)
		}
	}
	return paths
}

// tagPrefix reads what stands before the version in a tag. Git's names have rules of their
// own: https://git-scm.com/docs/git-check-ref-format.
func (d *decoder) tagPrefix(n *node) string {
	value := d.text(n)
	flaw := ""
	switch {
	case value == "":
		if n.kind == text {
			d.report(n.at, "", `"tagPrefix" is empty: leave it out if nothing stands before the version`)
		}
		return ""
	case len(value) > maxNameLength:
		flaw = "it is too long"
	case strings.HasPrefix(value, "/"), strings.HasPrefix(value, "-"), strings.HasPrefix(value, "."):
		flaw = "it begins with " + value[:1]
	case strings.HasPrefix(value, "refs/"):
		flaw = "it begins with refs/, which Git adds by itself"
	}
	for _, part := range []string{"..", "//", "@{", "/.", ".lock/"} {
		if flaw == "" && strings.Contains(value, part) {
			flaw = "it contains " + part
		}
	}
	at := strings.IndexFunc(value, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune(`~^:?*[\{}`, r)
	})
	if flaw == "" && at >= 0 {
		flaw = "it contains " + quote(string([]rune(value[at:])[0]))
	}
	if flaw == "" {
		return value
	}
	d.report(n.at, "", "no tag can begin with %q: %s", value, flaw)
	return ""
}
