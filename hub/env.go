package hub

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/adavit/adavit/internal/regular"
)

const (
	defaultEndpoint = "https://huggingface.co"
	maxToken        = 64 << 10 // bytes of the file that has it
)

// Default is the hub that the environment describes, read as Python's huggingface_hub reads it:
//
//	HF_ENDPOINT              the hub's URL, else https://huggingface.co
//	HF_HUB_CACHE             the cache, else HUGGINGFACE_HUB_CACHE, else $HF_HOME/hub
//	HF_HOME                  else $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface
//	HF_TOKEN                 the token, else HUGGING_FACE_HUB_TOKEN, else the content of $HF_TOKEN_PATH,
//	                         else of $HF_HOME/token
//	HF_HUB_OFFLINE           1, true, yes or on: the cache alone; else TRANSFORMERS_OFFLINE likewise
//	HF_HUB_DISABLE_IMPLICIT_TOKEN   1, true, yes or on: no token
//
// Paths may contain $NAME and start with ~. An empty variable counts as one that is not set.
func Default() Hub {
	home := hubHome()
	cache := expandPath(cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE")))
	if cache == "" && home != "" {
		cache = filepath.Join(home, "hub")
	}
	return Hub{
		Endpoint: cmp.Or(strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"), defaultEndpoint),
		Token:    hubToken(home),
		Cache:    cache,
		Offline:  isTrue(cmp.Or(os.Getenv("HF_HUB_OFFLINE"), os.Getenv("TRANSFORMERS_OFFLINE"))),
	}
}

// hubHome is the directory of everything Hugging Face; "" if not even a home directory is known.
func hubHome() string {
	if home := os.Getenv("HF_HOME"); home != "" {
		return expandPath(home)
	}
	if cache := os.Getenv("XDG_CACHE_HOME"); cache != "" {
		return expandPath(filepath.Join(cache, "huggingface"))
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(user, ".cache", "huggingface")
}

func hubToken(home string) string {
	if isTrue(os.Getenv("HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
		return ""
	}
	if token := cleanToken(cmp.Or(os.Getenv("HF_TOKEN"), os.Getenv("HUGGING_FACE_HUB_TOKEN"))); token != "" {
		return token
	}
	path := expandPath(os.Getenv("HF_TOKEN_PATH"))
	if path == "" && home != "" {
		path = filepath.Join(home, "token")
	}
	b, err := regular.Read(path, maxToken)
	if err != nil {
		return "" // public models need none; for others the hub's answer will say so
	}
	return cleanToken(string(b))
}

func cleanToken(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(s))
}

func isTrue(s string) bool {
	return slices.Contains([]string{"1", "ON", "YES", "TRUE"}, strings.ToUpper(s))
}

var variable = regexp.MustCompile(`\$(?:\w+|\{[^}]*\})`)

// expandPath replaces a leading ~ and variables; what is not set stays as it is written, as in Python.
func expandPath(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") || strings.HasPrefix(path, "~"+string(filepath.Separator)) {
		if home, err := os.UserHomeDir(); err == nil {
			path = home + path[1:]
		}
	}
	return variable.ReplaceAllStringFunc(path, func(s string) string {
		if v, ok := os.LookupEnv(strings.Trim(s, "${}")); ok {
			return v
		}
		return s
	})
}
