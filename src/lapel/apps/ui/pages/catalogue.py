from lapel.apps.ui import shell

if __name__ == "__main__":
    shell.run(lambda store, overview: "", empty=True)
