dev_help() {
    cat <<'END'
./dev COMMAND. Each installs what it misses (apt, npm), says so, and is quick when nothing changed.

  run [flags]           build, then serve on http://127.0.0.1:8080 (flags go to `parley serve`)
  build [release|debug] build/release: what is run; build/debug: with ASan and UBSan, what is tested
  test                  every suite; ends with one line: N passed, N failed
  unit [test...]        unit tests under ASan and UBSan; one by its name, or all
  system [file...]      whole-system tests against the real program under ASan and UBSan
  asan                  unit and whole-system tests under ASan and UBSan
  tsan                  tests of the threaded floors under ThreadSanitizer
  fuzz [target] [secs]  every fuzz target, or one, for 20 seconds each or as told
  simulate [n] [seed]   the router through n bad days (10000), and the limiter, from that seed on (1)
  bench                 measure against nginx; see docs/performance.md
  check [all]           formatting, clang-tidy (changed files, or all), floors, headers, types, locks
  compilers             build with every gcc and clang that is here, warnings being errors
  fmt                   format the C sources
  package               a .deb under package/
  clean                 remove what was built
  help                  this
END
}
